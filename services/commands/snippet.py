"""`truycap snippet`: the HTML to paste into a portal."""

from html import escape


def snippet(site: str, address: str) -> str:
    """The script that counts the page, the elements that show numbers, and the pixel for pages without JavaScript.

    address: where browsers reach truycap, `https://counter.example`.
    """
    base, site = escape(address.rstrip("/")), escape(site)
    return f"""<script async src="{base}/widget.js" data-site="{site}"></script>
<truycap-counter></truycap-counter>
<truycap-views></truycap-views>
<truycap-rating></truycap-rating>
<noscript><img src="{base}/v1/pixel.gif?site={site}" alt="" width="1" height="1"></noscript>
"""

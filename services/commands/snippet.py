"""`truycap snippet`: the HTML to paste into a portal."""

from html import escape

from shared.errors import SetupError


def snippet(site: str, address: str) -> str:
    """The script that counts the page, the elements that show numbers, and the pixel for pages without JavaScript.

    address: where browsers reach truycap, `https://counter.example`; SetupError where it has no scheme. The pixel's
    page is told by its referrer, of which browsers show an image of another origin no path unless they are asked to.
    """
    if not address.startswith(("https://", "http://")):
        raise SetupError(f"--url {address!r}: write it with its scheme, https://{address}.")
    base, site = escape(address.rstrip("/")), escape(site)
    pixel = f'src="{base}/v1/pixel.gif?site={site}" referrerpolicy="no-referrer-when-downgrade"'
    return f"""<script async src="{base}/widget.js" data-site="{site}"></script>
<truycap-counter></truycap-counter>
<truycap-views></truycap-views>
<truycap-rating></truycap-rating>
<noscript><img {pixel} alt="" width="1" height="1"></noscript>
"""

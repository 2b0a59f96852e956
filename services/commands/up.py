"""What `truycap up` says once it runs."""

from rich.console import Console

from services.commands.snippet import snippet
from services.embedded.folder import Folder


def announce(host: str, port: int, folder: Folder, site: str) -> None:
    """The address of the demo page, the snippet of a site to paste, and where the data lies."""
    shown = "127.0.0.1" if host in {"0.0.0.0", "::"} else f"[{host}]" if ":" in host else host  # noqa: S104
    address = f"http://{shown}:{port}"
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print("truycap is running. Ctrl-C stops it.\n")
    console.print(f"  Demo page    {address}/demo")
    console.print(f"  Data         {folder.path}")
    console.print(f"  API          {address}/docs\n")
    console.print("Paste this into a page to count it and to show the block:\n")
    console.print(snippet(site, address))

"""`python -m tests.integration.routing.campaign [TOGGLES]` (root): toggles under a flood

Says how many packets took the plain uplink while the tile was on: it has to be none.
"""

import shutil
import sys
import time

from tests.integration.routing.lab import Lab


def campaign(lab: Lab, toggles: int, every: int = 25) -> tuple[int, int]:
    """(packets leaked while on, packets the tunnel carried); the tunnel falls at each `every`th toggle."""
    leaked = carried = 0
    with lab.listening() as ears, lab.flood():
        for number in range(1, toggles + 1):
            lab.helper("route-on")
            ears.forget()
            if number % every == 0:
                lab.tunnel_down()
                time.sleep(0.03)
                lab.tunnel_up(8 + number // every % 2)
                lab.helper("route-on")
            time.sleep(0.01)
            leaked, carried = leaked + ears.leaked, carried + ears.carried
            lab.helper("route-off")
    return leaked, carried


def main() -> int:
    toggles = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    lab = Lab()
    try:
        lab.up()
        lab.tunnel_up()
        start = time.monotonic()
        leaked, carried = campaign(lab, toggles)
    finally:
        lab.down()
        shutil.rmtree(lab.folder)
    print(f"{toggles} toggles in {time.monotonic() - start:.0f} s: {leaked} leaked, {carried} carried")
    return int(leaked > 0)


if __name__ == "__main__":
    sys.exit(main())

"""`python -m app serve | score`: the command line."""

from __future__ import annotations

import argparse
import logging


def main() -> None:
    """Parse the command and run it."""
    parser = argparse.ArgumentParser(prog="python -m app", description="Chatterscope")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="open the page on this machine")
    serve.add_argument("--port", type=int, default=8501, help="port on localhost (8501)")
    serve.add_argument("--no-browser", action="store_true", help="do not open a browser")
    commands.add_parser("score", help="compute the page Score's table anew, in some minutes")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")

    if options.command == "score":
        from app.score.compute import compute
        from app.score.kept import RESULT, save

        save(compute(), RESULT)
        print(f"Kept in {RESULT}.", flush=True)
        return

    from app.main import app

    print(f"Chatterscope is at http://localhost:{options.port}; Ctrl-C ends it.", flush=True)

    app.run(
        config={"server.port": options.port, "server.headless": options.no_browser},
    )


if __name__ == "__main__":
    main()

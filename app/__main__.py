"""`python -m app serve | inspect | compare | data | score`: the command line."""

from __future__ import annotations

import argparse
import logging
import sys

from app import data_command
from app.compare import command as comparing
from app.report import command as inspecting


def main() -> None:
    """Parse the command and run it."""
    parser = argparse.ArgumentParser(prog="python -m app", description="Chatterscope")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="open the page on this machine")
    serve.add_argument("--port", type=int, default=8501, help="port (8501)")
    serve.add_argument(
        "--address", default="localhost", help="who may connect: this machine alone (localhost)"
    )
    serve.add_argument("--no-browser", action="store_true", help="do not open a browser")
    serve.add_argument(
        "--model", metavar="MOD:FN", help="your own network for uploads: a function that builds it"
    )
    inspecting.add_arguments(
        commands.add_parser("inspect", help="write a checkpoint's instability report")
    )
    comparing.add_arguments(
        commands.add_parser("compare", help="compare optimizers over seeds, as a report")
    )
    data_command.add_arguments(commands.add_parser("data", help="download a data set"))
    commands.add_parser("score", help="compute the page Score's table anew, in some minutes")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")

    if options.command == "score":
        from app.score.compute import compute
        from app.score.kept import RESULT, save

        save(compute(), RESULT)
        print(f"Kept in {RESULT}.", flush=True)
        return

    runs = {"inspect": inspecting.run, "compare": comparing.run, "data": data_command.run}
    if options.command in runs:
        sys.exit(runs[options.command](options))

    if options.model is not None:
        inspecting.serve_model(options.model)
    try:
        from app.live.pulse import REMEMBERED, idle_seconds
        from app.main import app
    except ValueError as error:  # a setting of the environment
        sys.exit(str(error))

    print(
        f"Chatterscope is at http://{options.address}:{options.port}; Ctrl-C ends it.", flush=True
    )
    app.run(
        config={
            "server.address": options.address,
            "server.port": options.port,
            "server.headless": options.no_browser,
            "server.disconnectedSessionTTL": round(idle_seconds() + REMEMBERED),
        },
    )


if __name__ == "__main__":
    main()

"""python -m demo_app: the same as the command demo-app."""

from demo_app.cli.main import main

raise SystemExit(main())

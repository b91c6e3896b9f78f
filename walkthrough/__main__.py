"""python -m walkthrough: the walkthrough command."""

from walkthrough.lab import main

raise SystemExit(main())

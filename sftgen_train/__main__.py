"""`python -m sftgen_train`: the `sftgen` command, for `accelerate launch -m sftgen_train train ...`."""

from sftgen_train.cli.main import main

if __name__ == "__main__":
    main()

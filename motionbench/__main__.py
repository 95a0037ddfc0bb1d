"""`python -m motionbench` is the command `motionbench`."""

from motionbench.cli import main

if __name__ == "__main__":
    main()

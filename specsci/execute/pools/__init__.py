"""Where steps run: processes of this machine, or what an installed package brings."""

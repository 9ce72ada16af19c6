"""Where weights come from: members of pinned package archives, read without running anything of them."""

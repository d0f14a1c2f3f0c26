HELP = "a private module needs no claim"

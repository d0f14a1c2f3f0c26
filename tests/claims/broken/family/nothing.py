TEXT = "no claim here"

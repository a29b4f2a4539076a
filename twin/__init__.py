"""The twin: the real template, deployed by the real SAM CLI, on a laptop and without an AWS account."""

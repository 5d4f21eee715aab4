"""How the people who do not exist are drawn: who they are, their bodies and heads, and what a camera does to them."""

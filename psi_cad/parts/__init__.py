"""Parts that are not the guide itself: what a template without a seat is given and returns, parts beside a guide, and their files measured."""

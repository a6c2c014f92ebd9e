"""What an instrument may have beyond what every one of its kind has: one file per kind of feature, as in `verify.features`, with where it goes."""

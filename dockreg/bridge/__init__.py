"""Pure conversions between the image formats of the protocols."""

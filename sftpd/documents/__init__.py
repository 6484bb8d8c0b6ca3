"""Documents for people: what they hold, and the forms they are printed in."""

"""python -m recipes.nano: make the bundled model."""

from recipes.nano.recipe import main

main()

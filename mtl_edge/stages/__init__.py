"""From a recipe to what it gives, in stages that are kept.

A stage is a function from finished stages to files in a folder of its own. Its key holds all that it depends on: its
part of the recipe, what its parents wrote, the source code that it runs and the libraries that it calls. So a run that
was interrupted anywhere goes on with the first stage that is not finished, and nothing stale is ever reused.

``cached`` keeps them, and has the first one, the data; ``training`` trains networks; ``pruning`` and ``sparsifying``
make smaller ones of them; ``variants`` puts those in the order that the recipe asks for; ``models`` exports, quantizes
and measures all of them.
"""

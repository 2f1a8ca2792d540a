"""Pictures, each a small SVG of one width: a page lays them out in a grid, so that they read well on a phone too."""

"""What a registered version says about itself: a description in three lines, a model card and a data card."""

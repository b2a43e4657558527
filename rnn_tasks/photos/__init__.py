"""From a photo of handwritten digits to images like MNIST's, and to the numbers in it."""

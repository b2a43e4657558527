"""From a photo of handwritten digits to images like those of MNIST, and to the numbers in it."""

"""What a text is made of: sentences, words, numbers and names; its language; what a question asks."""

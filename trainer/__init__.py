"""Training, evaluation and export of the transmission methods; imports jscc only."""

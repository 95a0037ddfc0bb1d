"""Video files, as the decoder's own process reads them: what a stream is, its frames, their picture, their times."""


class Refusal(Exception):
    """The file is no video that can be read exactly; the text says why."""

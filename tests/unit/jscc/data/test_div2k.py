"""DIV2K: the archive that is asked for."""

from jscc.data import div2k


def test_the_true_address() -> None:
    assert div2k.URL == "http://data.vision.ee.ethz.ch/cvl/DIV2K/DIV2K_train_HR.zip"
    assert (len(div2k.SHA256), div2k.PHOTOS) == (64, 800)

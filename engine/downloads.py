"""What `stemwright models fetch` knows by name. Nothing of it is needed by the model that comes along.

Sizes and hashes are given only where their publisher states them. The licence is the publisher's word on the
files; none of them is ours.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Download:
    """A file on a server.

    file     its name
    size     bytes, exactly; None: not published
    roughly  bytes, for people, where the size is not published
    sha256   None: not published
    licence  as its publisher states it
    page     where to read about it
    """

    url: str
    file: str
    size: int | None = None
    roughly: int | None = None
    sha256: str | None = None
    licence: str = "not known"
    page: str = ""


DRIVE = "https://drive.usercontent.google.com/download?export=download&confirm=t&id="
HUB = "https://huggingface.co/{}/resolve/{}/{}"
OFFICIAL = "https://github.com/yoongi43/MGE-LDM"
UNSAID = "not stated for the weights; the authors' code is MIT"

KNOWN = {
    "mge-ldm": Download(
        url=DRIVE + "1tyND8iI5Whs6_Oe-pBK2SpysGLKKa6sR",
        file="unwrapped_DiT.ckpt",
        roughly=4_720_000_000,  # 1,179,151,361 parameters in single precision
        licence=UNSAID,
        page=OFFICIAL,
    ),
    "mge-ldm-autoencoder": Download(  # for training; the denoiser's file has it too
        url=DRIVE + "1BmEUvakYYAPcQfn84Z9rioya08DzZqdp",
        file="unwrapped_AE.ckpt",
        roughly=624_000_000,  # 156,110,721 parameters in single precision
        licence=UNSAID,
        page=OFFICIAL,
    ),
    "clap": Download(
        url=HUB.format(
            "lukewys/laion_clap",
            "4226474e38defca6fc9272a7848bb7b0355ccd7a",
            "music_audioset_epoch_15_esc_90.14.pt",
        ),
        file="music_audioset_epoch_15_esc_90.14.pt",
        size=2_352_471_003,
        sha256="fae3e9c087f2909c28a09dc31c8dfcdacbc42ba44c70e972b58c1bd1caf6dedd",
        licence="CC0-1.0",
        page="https://huggingface.co/lukewys/laion_clap",
    ),
    "roberta-tokenizer": Download(
        url=HUB.format(
            "FacebookAI/roberta-base", "e2da8e2f811d1448a5b465c236feacd80ffbac7b", "tokenizer.json"
        ),
        file="roberta-base-tokenizer.json",
        roughly=1_360_000,
        licence="MIT",
        page="https://huggingface.co/FacebookAI/roberta-base",
    ),
}

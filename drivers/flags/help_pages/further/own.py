"""Of commands about models and dictionaries of one's own, whole studies, what results say, and speed."""

from types import MappingProxyType

OWN = MappingProxyType({
    "convert": (
        ("is it the same model? against torch", "causeway convert --model=bundled:tiny --verify --out=runs/verified"),
        ("dictionaries alone", "causeway convert --dictionaries=bundled:tiny --out=runs/tiny_saes"),
    ),
    "train_model": (
        ("on your own texts",
         "causeway train_model --data=texts.jsonl --out=runs/own_model --config.schedule.steps=1000"),
        ("a wider one",
         "causeway train_model --out=runs/wide --config.model.d_model=96 --config.schedule.steps=20 "
         "--config.schedule.warmup_steps=5"),
    ),
    "train_dictionary": (
        ("transcoders with a skip",
         "causeway train_dictionary --model=bundled:tiny --data=tasks --num_texts=500 --length=64 --transcoder "
         "--skip --num_features=256 --l0=16 --steps=50 --out=runs/transcoders"),
        ("of one layer, with k active features",
         "causeway train_dictionary --model=bundled:tiny --data=tasks --num_texts=500 --length=64 --layers=2 "
         "--kind=topk --k=16 --num_features=256 --steps=50 --out=runs/layer_2"),
    ),
    "study": (
        ("what will it take?", "causeway study --plan --workdir=runs/circuits"),
        ("one stage again, with another value",
         "causeway study --only=evaluate --config.shared.seed=1 --workdir=runs/circuits"),
    ),
    "report": (
        ("a page elsewhere, and its charts as pictures",
         "causeway report --workdir=runs/screen --out=runs/page.html --figures"),
        ("of all that lies in a folder, made again", "causeway report --workdir=runs --overwrite"),
        ("with plans, tables and methods, to send", "causeway report --workdir=runs/screen --overwrite "
         "--bundle=runs/screen.zip"),
        ("two runs beside each other", "causeway report --compare=runs/screen,runs/screen "
         "--out=runs/compared.html"),
    ),
    "serve": (
        ("at an address that stays the same", "causeway serve --workdir=runs/screen --port=8642"),
        ("all that lies in a folder", "causeway serve --workdir=runs"),
    ),
    "bench": (
        ("everything, as one JSON", "causeway bench all --json"),
        ("what a program would move on a card that is not here", "causeway bench compile --target=h200"),
    ),
})  # fmt: skip

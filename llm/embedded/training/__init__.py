"""How `penstock-demo` is made, from nothing but this folder: corpus, tokenizer, training, export, evaluation.

`python -m llm.embedded.training all` runs the whole recipe. Needs the extra `huggingface`; not part of the wheel.
"""

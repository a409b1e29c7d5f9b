"""The examination of a base: its files, its weights, its tokenizer and template are proved before anything is spent.

`folder` reads files alone and imports no torch; `model` proves on the loaded model itself what the method rests on;
`examine` joins both, asks a process of its own for what needs torch, and keeps what was found by the files' digests.
"""

"""Independent float64 references of the mixers in examples/, each a plain loop over the tokens.

A reference is a function `name(inputs, carry) -> (outputs, carry)` for one sequence. Arrays have the library's layout
without the first batch dim: inputs and outputs [T, other batch dims, features], params as declared, states
[other batch dims, indices], windows [other batch dims, width, features] with the oldest row first. `carry` is None or a
dict with all of these and `position`, the number of tokens before the first one. A mixer's constants are passed by name to
a reference that has such a parameter. The entry named in a docstring is that of the catalogue of recurrences, or of the
catalogue of attention and matrices, that the equations were taken from.
"""

from .attention import (alibi, attention_sinks, causal_attention, cross_attention, full_attention, grouped_query_attention,
                        hstu, rope_attention, sliding_window_attention, softcap_attention)
from .convolution import ar_net, rwkv_channel_mix, short_convolution
from .delta import comba, deltanet, deltanet_negative, deltaproduct, gated_deltanet, kda, rwkv7
from .elementwise import hgrn, mingru, minlstm, qrnn, rglru, sru
from .linear import (gla, gsa, hgrn2, liger, lightning, linear_attention, linear_attention_normalised, retnet, rwkv6,
                     simple_gla)
from .nonlinear import elman, gru, lstm, paragru, paralstm, slstm, sru_recurrent_gates
from .selective import hydra, longhorn, mamba, mamba2
from .stabilised import aaren, lightnet, mlstm, rwkv4
from .time_invariant import lru, mega_ema, s4d, s5_resets

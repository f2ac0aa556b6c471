"""Independent float64 references of the mixers in examples/, each a plain loop over the tokens.

A reference is a function `name(inputs, carry) -> (outputs, carry)` for one sequence. Arrays have the library's layout
without the first batch dim: inputs and outputs [T, other batch dims, features], params as declared, states
[other batch dims, indices], windows [other batch dims, width, features] with the oldest row first. `carry` is None or a
dict with all of these and `position`, the number of tokens before the first one. A mixer's constants are passed by name to
a reference that has such a parameter. The entry named in a docstring is that of the catalogue of recurrences, or of the
catalogue of attention and matrices, that the equations were taken from.
"""

from .attention import (additive_attention, alibi, attention_sinks, block_causal_attention, causal_attention,
                        combiner_fixed, cross_attention, dilated_attention, document_attention, flash_gau, fox,
                        full_attention, gau, grouped_query_attention, hstu, lama, landmark_attention,
                        local_global_attention, long_vq, mega_attention, mla, pointer_network, prefix_attention,
                        relative_key_attention, rope_attention, rope_ntk, rope_position_interpolation, rope_truncated,
                        seqboat, set_attention, set_prompting, sigmoid_attention, sliding_window_attention,
                        softcap_attention, streaming_attention, strided_attention, t5_attention, t5_encoder_attention,
                        urpe, vq_attention)
from .convolution import ar_net, rwkv_channel_mix, short_convolution
from .delta import comba, deltanet, deltanet_negative, deltaproduct, gated_deltanet, kda, rwkv7
from .elementwise import hgrn, mingru, minlstm, qrnn, rglru, sru
from .linear import (gla, gsa, hgrn2, liger, lightning, linear_attention, linear_attention_normalised, retnet, rwkv6,
                     simple_gla)
from .low_rank import based_attention, jrt, linformer, performer, performer_relu
from .matrix import (block_diagonal_matrix, butterfly_matrix, cauchy_matrix, circulant_matrix, dense_matrix, dft_matrix,
                     dss_convolution, fnet, gmlp, hyena, low_rank_matrix, ltsf_dlinear, ltsf_linear, ltsf_nlinear,
                     mlp_mixer, monarch_convolution, monarch_matrix, s4_convolution, s4d_convolution,
                     semiseparable_matrix, tcn_block, tnn, toeplitz_causal, toeplitz_two_sided, vandermonde_matrix)
from .nonlinear import elman, gru, lstm, paragru, paralstm, slstm, sru_recurrent_gates
from .selection import dsa, infllm, informer, moba, nsa, paged_attention, recycled_attention, routing_attention
from .selective import hydra, longhorn, mamba, mamba2
from .stabilised import aaren, lightnet, mlstm, rwkv4
from .time_invariant import lru, mega_ema, s4d, s5_resets

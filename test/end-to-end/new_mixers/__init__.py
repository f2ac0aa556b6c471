"""Mixers that are in no example, each with an independent loop in the conventions of `references`."""

from .cells import (dense_two_states, diagonal_nonlinear, matrix_nonlinear, mixed_functions, peephole_lstm,
                    reset_before_product)
from .delta import (bidirectional_delta, delta_momentum, delta_read_before, delta_three_factors, delta_value_strength,
                    erase_and_write_keys, no_heads)
from .matrix import (competitive_slots, coupled_normaliser, decay_on_both_axes, decay_per_value, documents, energy,
                     normed_read, reversed_gla, rotating_keys, shared_keys, signed_decay, three_batch_dims,
                     three_timescales, token_shift, trapezoid, unbounded_gla, window_gates, window_product)
from .pairs import (distance_filter, distances, feature_attention, gated_pairs, hybrid_attention, polynomial_attention,
                    retention_pairs)
from .several_dims import (delta_heads_as_dim, delta_product_keys, heads_as_dim, linked_pair_memory, product_keys,
                           product_keys_values, several_writes, taylor_moments, trapezoid_multi_input)
from .vector import (bidirectional_elementwise, data_dependent_rotation, dense_memory, embedding, log_space, look_ahead,
                     max_plus, oscillator, periodic, relative_position, scalar_state, selective_two_outputs,
                     softmax_pool)
from .windows import timeless_outputs, window_where

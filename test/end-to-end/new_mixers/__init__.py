"""Mixers that are in no example, each with an independent loop in the conventions of `references`."""

from .additive import additive_weights, additive_window
from .cells import (dense_two_states, diagonal_nonlinear, matrix_nonlinear, mixed_functions, peephole_lstm,
                    reset_before_product)
from .complex_states import complex_low_rank, complex_selective, tabled_decay
from .coupled import (binned_sums, both_directions_gated, ema_two_ways, gate_by_last_read, kalman_channels,
                      last_write_wins, least_squares, legendre_cell, prefix_bidirectional)
from .delta import (bidirectional_delta, delta_momentum, delta_read_before, delta_three_factors, delta_value_strength,
                    erase_and_write_keys, no_heads)
from .elements import both_sides_reversed, element_weights
from .filters import few_features_around, few_features_past
from .lengths import (block_keys, gathered_rows, pair_maps, pooled_gates, selected_blocks, selected_tokens,
                      two_lengths)
from .matrix import (competitive_slots, coupled_normaliser, decay_on_both_axes, decay_per_value, documents, energy,
                     normed_read, reversed_gla, rotating_keys, shared_keys, signed_decay, three_batch_dims,
                     three_timescales, token_shift, trapezoid, unbounded_gla, window_gates, window_product)
from .memories import (averages_by_number, chosen_memories, constant_decays, delayed_writes, element_decays,
                       fast_and_slow, forward_delta_backward_gated, grouped_keys, hebbian_oja, learned_corrections,
                       mutual_reads, narrow_keys, odd_factors, plane_rotation, resets_by_segment,
                       rows_and_learned_columns, saturated_matrix, tied_gates_normed, two_stabilisers)
from .pairs import (distance_filter, distances, feature_attention, gated_pairs, hybrid_attention, low_rank_keys,
                    polynomial_attention, retention_pairs)
from .ranks import (channel_erase_write, decay_between_factors, delta_both_decays, delta_columns_three,
                    rank_two_bonus_reads, segment_resets, two_sided_delta, vector_delta, windowed_least_mean)
from .reads import (lagged_reads, many_normalisers, mixed_storage, projected_read, read_both_sides, running_normaliser,
                    stacked_convolutions, state_as_output)
from .rings_and_moments import (adaptive_moments, gated_channels, leaking_extent, liquid_channels, ring_of_three,
                                second_order_cell, shifting_channels, surprise, taps_both_sides)
from .selections import (block_lookup, clusters, given_rows, lengths_aligned, lengths_in_data, own_block_too,
                         pointers, quantised_keys, rounds, sparse_queries, summed_segments, three_branches)
from .several_dims import (delta_heads_as_dim, delta_product_keys, heads_as_dim, linked_pair_memory, product_keys,
                           product_keys_values, several_writes, taylor_moments, trapezoid_multi_input)
from .stabilised import (decayed_average_bonus, extremes, prefix_attention_latents, slot_averages, stabilised_columns,
                         stabilised_rows)
from .vector import (bidirectional_elementwise, data_dependent_rotation, dense_memory, embedding, log_space, look_ahead,
                     max_plus, oscillator, periodic, relative_position, scalar_state, selective_two_outputs,
                     softmax_pool)
from .windows import timeless_outputs, window_where

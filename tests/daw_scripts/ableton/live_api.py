"""Names of Live's documented objects that a script can reach: r readable, w also writable, m a method.

From the listing that Live 12.4.6 gives of itself; the versions from the Live Object Model's pages.
"""

SONG = (
    "appointed_device:w arrangement_overdub:w back_to_arranger:w can_capture_midi:r "
    "can_jump_to_next_cue:r can_jump_to_prev_cue:r can_redo:r can_undo:r canonical_parent:r "
    "clip_trigger_quantization:w count_in_duration:r cue_points:r current_song_time:w exclusive_arm:r "
    "exclusive_solo:r file_path:r groove_amount:w groove_pool:r is_ableton_link_enabled:w "
    "is_counting_in:r is_playing:w last_event_time:r loop:w loop_length:w loop_start:w master_track:r "
    "metronome:w midi_recording_quantization:w name:r nudge_down:w nudge_up:w overdub:w punch_in:w "
    "punch_out:w re_enable_automation_enabled:r record_mode:w return_tracks:r root_note:w "
    "scale_intervals:r scale_mode:w scale_name:w scenes:r select_on_launch:r session_automation_record:w "
    "session_record:w session_record_status:r signature_denominator:w signature_numerator:w song_length:r "
    "start_time:w swing_amount:w tempo:w tempo_follower_enabled:w tracks:r tuning_system:r view:r "
    "visible_tracks:r begin_undo_step:m capture_and_insert_scene:m capture_midi:m continue_playing:m "
    "create_audio_track:m create_midi_track:m create_return_track:m create_scene:m delete_return_track:m "
    "delete_scene:m delete_track:m duplicate_scene:m duplicate_track:m end_undo_step:m "
    "find_device_position:m get_data:m is_cue_point_selected:m jump_by:m move_device:m play_selection:m "
    "re_enable_automation:m redo:m scrub_by:m set_data:m set_or_delete_cue:m start_playing:m "
    "stop_all_clips:m stop_playing:m tap_tempo:m trigger_session_record:m undo:m"
)
SONG_VIEW = (
    "canonical_parent:r detail_clip:w draw_mode:w follow_song:w highlighted_clip_slot:w selected_chain:w "
    "selected_parameter:r selected_scene:w selected_track:w select_device:m"
)
TRACK = (
    "arm:w arrangement_clips:r back_to_arranger:w can_be_armed:r can_be_frozen:r can_show_chains:r "
    "canonical_parent:r clip_slots:r color:w color_index:w current_monitoring_state:w devices:r "
    "fired_slot_index:r fold_state:w group_track:r has_audio_input:r has_audio_output:r has_midi_input:r "
    "has_midi_output:r implicit_arm:w is_foldable:r is_frozen:r is_grouped:r is_part_of_selection:r "
    "is_showing_chains:w is_visible:r mixer_device:r mute:w muted_via_solo:r name:w performance_impact:r "
    "playing_slot_index:r solo:w take_lanes:r view:r create_audio_clip:m create_midi_clip:m "
    "create_take_lane:m delete_clip:m delete_device:m duplicate_clip_slot:m "
    "duplicate_clip_to_arrangement:m duplicate_device:m get_data:m insert_device:m "
    "jump_in_running_session_clip:m set_data:m stop_all_clips:m"
)
TAKE_LANE = "arrangement_clips:r canonical_parent:r name:w create_audio_clip:m create_midi_clip:m"
CLIP_SLOT = (
    "canonical_parent:r clip:r color:r color_index:r controls_other_clips:r has_clip:r has_stop_button:w "
    "is_group_slot:r is_playing:r is_recording:r is_triggered:r playing_status:r will_record_on_start:r "
    "create_audio_clip:m create_clip:m delete_clip:m duplicate_clip_to:m fire:m set_fire_button_state:m "
    "stop:m"
)
CLIP = (
    "automation_envelopes:r available_warp_modes:r canonical_parent:r color:w color_index:w end_marker:w "
    "end_time:r file_path:r gain:w gain_display_string:r groove:w has_envelopes:r has_groove:r "
    "is_arrangement_clip:r is_audio_clip:r is_midi_clip:r is_overdubbing:r is_playing:w is_recording:r "
    "is_session_clip:r is_take_lane_clip:r is_triggered:r launch_mode:w launch_quantization:w legato:w "
    "length:r loop_end:w loop_start:w looping:w muted:w name:w pitch_coarse:w pitch_fine:w "
    "playing_position:r position:w ram_mode:w sample_length:r sample_rate:r signature_denominator:w "
    "signature_numerator:w start_marker:w start_time:r velocity_amount:w view:r warp_markers:r "
    "warp_mode:w warping:w will_record_on_start:r add_warp_marker:m beat_to_sample_time:m "
    "clear_all_envelopes:m crop:m duplicate_loop:m fire:m move_playing_pos:m move_warp_marker:m "
    "quantize:m remove_warp_marker:m sample_to_beat_time:m scrub:m seconds_to_sample_time:m "
    "set_fire_button_state:m stop:m stop_scrub:m"
)
WARP_MARKER = "beat_time:r sample_time:r"
APPLICATION = (
    "average_process_usage:r browser:r canonical_parent:r control_surfaces:r "
    "current_dialog_button_count:r current_dialog_message:r open_dialog_count:r view:r "
    "get_bugfix_version:m get_build_id:m get_document:m get_major_version:m get_minor_version:m "
    "get_variant:m get_version_string:m has_option:m press_current_dialog_button:m show_message:m "
    "show_on_the_fly_message:m"
)
SINCE = {  # (class, name): Live's first version with it
    ("Track", "create_audio_clip"): (12, 0, 5),
    ("ClipSlot", "create_audio_clip"): (12, 0, 5),
    ("Track", "create_take_lane"): (12, 2, 0),
    ("Track", "take_lanes"): (12, 2, 0),
    ("TakeLane", "create_audio_clip"): (12, 2, 0),
    ("Clip", "is_session_clip"): (12, 2, 0),
    ("Clip", "is_take_lane_clip"): (12, 2, 0),
    ("Clip", "automation_envelopes"): (12, 2, 0),
}
TYPES = {  # of what may be written; Live's setters take no other type
    "name": str,
    "color": int,
    "pitch_coarse": int,
    "pitch_fine": float,
    "gain": float,
    "loop_start": float,
    "loop_end": float,
    "looping": bool,
    "warping": bool,
}


def members(text):
    """ "name:r color:w" → {"name": "r", "color": "w"}"""
    return dict(word.split(":") for word in text.split())

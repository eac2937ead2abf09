//! Reorders steps so that fewer bytes are live at the same time.

"""What files are held against: plan and catalogue as plain values, which load no kernel."""

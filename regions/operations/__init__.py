"""Operations on regions: status, evacuate, restore, rebuild."""

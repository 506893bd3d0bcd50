// Edit this line and run `hivesync preview` again: the next preview says it.
export const greeting = 'Good morning, the bees are up.';

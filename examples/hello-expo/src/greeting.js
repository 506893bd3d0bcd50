// Edit this line and push: the preview on your phone says it a moment later.
export const greeting = 'Good morning, the bees are up.';

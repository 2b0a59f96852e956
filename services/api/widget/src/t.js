// The tracker alone, for pages that show no numbers.
import './tracker.js';

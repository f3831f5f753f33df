// Everything that the page says, in one place; but for what it says without JavaScript.

/** `0.998` as `99.8%`; never 0 or 100 for what is neither. */
export function percent(share) {
  if (share < 1 && share >= 0.9995) return '>99.9%';
  if (share > 0 && share < 0.0005) return '<0.1%';
  return `${(100 * share).toFixed(1)}%`;
}

/** `a 7`, `an 8`. */
const a = (digit) => `${digit === 8 ? 'an' : 'a'} ${digit}`;
const count = (n, one, many) => `${n.toLocaleString('en')} ${n === 1 ? one : many}`;

/** What elements with `data-text` say, and those with `data-label` to screen readers. */
export const page = {
  name: 'mnist',
  title: 'mnist: handwritten digits, read as you write',
  tagline: 'Handwritten digits, read as you write',
  ways: 'How to give digits',
  draw: 'Draw',
  photograph: 'Photograph',
  canvas: 'Drawing area',
  keys: 'Arrow keys move the pen, with Shift in small steps. Space puts it down and lifts it. Delete clears.',
  invite: 'Write a digit, or several',
  undo: 'Undo',
  redo: 'Redo',
  clear: 'Clear',
  brush: 'Brush',
  dropTitle: 'A page, a note, a form',
  dropHint: 'Drop an image here, paste one, or',
  takeHint: 'Photograph it, or choose an image',
  choose: 'Choose an image',
  take: 'Take a photo',
  camera: 'Use the camera',
  shoot: 'Take the photo',
  cancel: 'Cancel',
  another: 'Another image',
  cameraView: 'What the camera sees',
  boxes: 'Digits on the page; arrow keys go from one to the next',
  unshown: 'This browser cannot show such an image. These are the digits found on it.',
  reading: 'Reading',
  digits: 'Digits that were read',
  text: 'Text that was read',
  copy: 'Copy',
  probabilities: 'Probability of each digit',
  why: 'Why',
  given: 'Given',
  ink: 'The ink found',
  seen: 'The network sees',
  seenNote: '28 × 28 pixels, centred by mass',
  wrong: 'Wrong?',
  wrongHint: 'Say what it is.',
  none: 'Not a digit',
  weights: 'Weights',
  close: 'Close',
  training: 'How they were trained',
  weightsHint: 'Which weights read',
};

/** What is said as things happen. */
export const say = {
  nothingDrawn: 'Nothing drawn yet.',
  nothingDrawnHint: 'Write with a mouse, a pen, a finger, or the arrow keys.',
  nothingGiven: 'No image yet.',
  nothingGivenHint: 'Text and boxes appear here once a page is read.',
  nothingFound: 'No digit found.',
  nothingFoundHint: 'Nothing here looks like writing: dark on light is read best.',
  reading: 'Reading…',
  penDown: 'Pen down.',
  penUp: 'Pen up.',
  cleared: 'Cleared.',
  copied: 'Copied.',
  notCopied: 'The browser does not let the page copy; select the text and copy it.',
  sure: (label, confidence) => `It is ${a(label)}: ${percent(confidence)} sure.`,
  unsure: (label, confidence, other, rest) =>
    `Unsure: ${a(label)} (${percent(confidence)}), or ${a(other)} (${percent(rest)})?`,
  notDigit: (guess) => `Not a digit. The nearest would be ${a(guess)}.`,
  box: (digit) => (digit.digit ? `${digit.label}, ${percent(digit.confidence)}` : 'not a digit'),
  noDigit: '–',
  read: (text) => (text ? `Read: ${text}.` : 'No digit found.'),
  found: (digits, lines) => `${count(digits, 'digit', 'digits')} in ${count(lines, 'line', 'lines')}`,
  givenOf: (digit) => `The image around this digit, read as ${say.box(digit)}`,
  inkOf: 'The ink that belongs to this digit',
  seenOf: 'The 28 by 28 pixels that the network sees',
  evidenceOf: (guess) => `The same pixels, coloured by how much each speaks for ${guess} or against it`,
  evidenceTitle: (guess) => `What speaks for ${guess}`,
  evidenceFor: (guess) => `for ${guess}`,
  evidenceAgainst: (guess) => `against ${guess}`,
  saved: (path, label) => `Saved as \`${path}\`. ` +
    (label === 'none'
      ? '`mnist train` passes over what is no digit.'
      : 'Train on the folder with `mnist train --data`.'),
  collecting: 'Your answer is saved with the image, to train on; what is no digit is kept, but not trained on.',
  notCollecting: 'To keep corrections and train on them, start `mnist serve --collect DIR`, then `mnist train --data DIR`.',
  chosen: (name) => `${name} reads now.`,
  accuracy: (share) => (share === null ? 'accuracy on MNIST not recorded' : `${(100 * share).toFixed(2)}% of MNIST’s test set right`),
  layers: (weights) => `784 → ${weights.hidden} → 10, ${count(weights.parameters, 'parameter', 'parameters')}`,
  pill: (weights) => (weights.test_accuracy === null ? weights.name : `${weights.name} · ${(100 * weights.test_accuracy).toFixed(2)}%`),
  noRecord: 'There is no record of how they were trained.',
  foot: (version, collect) =>
    `mnist ${version}. Images go to the program that serves this page and nowhere else; ` +
    (collect ? 'it keeps those that you correct.' : 'it keeps none.'),
  away: 'The program does not answer. Is mnist serve still running? This page goes on once it does.',
  failed: (status) => `The program answered with an error (${status}).`,
  tooLarge: (megabytes) => `This browser cannot show such an image, and it has more than the ${megabytes} MB that can be sent.`,
  noImage: 'That is no image: PNG, JPEG, WebP, GIF, BMP and TIFF are read.',
  noCamera: 'The camera cannot be used: none is there, or the browser does not allow it.',
  page: (name) => `The page that was read: ${name}`,
  photo: 'photo',
  pasted: 'pasted image',
};

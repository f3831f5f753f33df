// The weights in use, and the switch between those that there are.

import { weights } from './api.js';
import { page, say } from './text.js';

const $ = (id) => document.getElementById(id);
const add = (parent, tag, text = '') => {
  const element = document.createElement(tag);
  element.textContent = text;
  parent.append(element);
  return element;
};

/** What the record says of the training, `[name, value]`, without what is unset. */
const facts = (record) =>
  Object.entries(record?.configuration ?? {})
    .filter(([, value]) => value !== null)
    .map(([name, value]) => [name.replaceAll('_', ' '), Array.isArray(value) ? value.join(', ') : String(value)]);

/** The weights that the program has; calls `switched()` after another choice. */
export class Weights {
  #all = [];
  #at = 0;
  collects = false;
  foot = '';

  constructor(switched) {
    this.switched = switched;
    $('weights-open').addEventListener('click', () => $('weights').showModal());
    $('weights-close').addEventListener('click', () => $('weights').close());
    // A click beside the dialog.
    $('weights').addEventListener('click', (event) => event.target === $('weights') && $('weights').close());
  }

  get name() {
    return this.#all[this.#at]?.name ?? '';
  }

  async load() {
    const { weights: all, collect, version } = await weights();
    const used = all.find((each) => each.name === this.name) ?? all.find((each) => each.default);
    this.#all = all;
    this.#at = all.indexOf(used);
    this.collects = collect;
    this.foot = say.foot(version, collect);
    $('weights-list').replaceChildren();
    all.forEach((each, at) => this.#item(each, at));
    this.#name();
  }

  #name() {
    $('weights-name').textContent = say.pill(this.#all[this.#at]);
  }

  #item(each, at) {
    const item = add($('weights-list'), 'li');
    const label = add(item, 'label');
    if (this.#all.length > 1) {
      const radio = add(label, 'input');
      Object.assign(radio, { type: 'radio', name: 'weights', checked: at === this.#at });
      radio.addEventListener('change', () => {
        this.#at = at;
        this.#name();
        $('live').textContent = say.chosen(each.name);
        this.switched();
      });
    }
    const words = add(label, 'span');
    add(words, 'b', each.name);
    add(words, 'span', say.accuracy(each.test_accuracy));
    add(words, 'span', say.layers(each));
    const known = facts(each.record);
    if (known.length === 0) {
      add(item, 'p', say.noRecord);
      return;
    }
    const details = add(item, 'details');
    add(details, 'summary', page.training);
    const list = add(details, 'dl');
    for (const [name, value] of known) {
      add(list, 'dt', name);
      add(list, 'dd', value);
    }
  }
}

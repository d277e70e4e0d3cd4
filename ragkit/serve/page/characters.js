// Offsets of the server count characters (code points); those of JavaScript count UTF-16 units.

/** *text*, to be cut at the server's offsets. */
export class Characters {
  constructor(text) {
    this.text = text;
    this.beyond = []; // the code points that are two units, by their offset
    if (/[\ud800-\udbff]/.test(text)) {
      let at = 0;
      for (const character of text) {
        if (character.length === 2) this.beyond.push(at);
        at += 1;
      }
    }
    this.length = text.length - this.beyond.length;
  }

  /** The unit at which the character at *offset* begins. */
  unit(offset) {
    let low = 0;
    let high = this.beyond.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.beyond[middle] < offset) low = middle + 1;
      else high = middle;
    }
    return offset + low;
  }

  slice(start, end) {
    return this.text.slice(this.unit(start), this.unit(end));
  }
}

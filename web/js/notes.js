import { element, loadStyle } from './panel/elements.js'

const MOST = 160 // px; a longer text is scrolled
const MARGIN = 2 * 10 + 4 // px that the canvas keeps free above and below a widget

const shown = new WeakMap()

/** Show a text on a node until its next run, below its widgets; an empty one takes no room. */
export function showNotes(node, text) {
  let note = shown.get(node)
  if (!note) {
    if (!text) return
    note = new Note(node)
    shown.set(node, note)
  }
  note.show(text)
}

class Note {
  constructor(node) {
    loadStyle()
    this.node = node
    this.text = element('div')
    this.frame = element('div', { className: 'reenact-notes', attributes: { role: 'status' } }, this.text)
    const height = () => this.#height()
    const options = { serialize: false, hideOnZoom: false, getMinHeight: height, getMaxHeight: height }
    const widget = node.addDOMWidget('reenact_notes', 'reenact_notes', this.frame, options)
    widget.serialize = false
  }

  show(text) {
    this.text.textContent = text
    const [width, height] = this.node.size
    this.node.setSize([width, Math.max(height, this.node.computeSize()[1])])
  }

  #height() {
    if (!this.text.textContent) return 0
    return Math.min(this.text.offsetHeight || 32, MOST) + MARGIN
  }
}

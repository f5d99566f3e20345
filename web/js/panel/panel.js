import { Controls } from './controls.js'
import { showNotes } from '../notes.js'
import { element, loadStyle } from './elements.js'
import { NewestFrame, loadChoices } from './server.js'
import { readSettings } from './settings.js'

const WATCH = 250 // ms between two looks at the node's widgets
const PICTURE = 240 // px, least height of the picture and the gaps
const SIDE = 512 // px per side that the server draws

const panels = new WeakMap()
const opened = new Set()

/** Show the panel of a run on its node; it is made when the first run ends. */
export async function openPanel(node, run) {
  let panel = panels.get(node)
  if (!panel) {
    loadStyle()
    panel = loadChoices().then((choices) => new Panel(node, choices))
    panels.set(node, panel)
    panel.catch((error) => {
      panels.delete(node)
      showNotes(node, `The panel can't be shown: ${error.message}`)
    })
  }
  ;(await panel).open(run)
}

/** Tell the panels whose node did not run because the graph failed before it. */
export function tellOfFailure({ executed = [], node_type: type, exception_message: message }) {
  const name = window.LiteGraph?.registered_node_types?.[type]?.title ?? type
  for (const panel of opened) panel.fail(executed, `${name}: ${message?.trim()}`)
}

/** Drag through the frames of the last run, swap the strategy, look at single references. */
class Panel {
  #run = null
  #reference = null // number of the reference shown, null = the fused picture
  #last = '' // what was asked for last
  #url = null
  #failure = '' // of a run that did not get as far as this node

  constructor(node, choices) {
    this.node = node
    this.choices = choices
    this.frames = new NewestFrame(
      (frame) => this.#show(frame),
      (message) => this.#say(message, true),
    )
    this.controls = new Controls(node, choices, () => this.#ask())
    this.#build()
    const options = { serialize: false, hideOnZoom: false, getMinHeight: () => this.#least() }
    const widget = node.addDOMWidget('reenact_panel', 'reenact_panel', this.element, options)
    widget.serialize = false
    // Front ends tell of changed widgets in ways of their own, or not at all; reading a few values costs nothing.
    const watch = setInterval(() => this.#look(), WATCH)
    opened.add(this)
    const removed = node.onRemoved
    const forget = () => opened.delete(this)
    node.onRemoved = function (...rest) {
      clearInterval(watch)
      forget()
      removed?.apply(this, rest)
    }
  }

  /** Take over the results of a run. */
  open(run) {
    this.#run = run
    this.#failure = ''
    this.slider.max = Math.max(0, run.kept - 1)
    if (!this.#last) this.slider.value = Math.floor(run.kept / 2)
    if (this.#reference !== null && this.#reference >= run.references.length) this.#reference = null
    this.controls.use(run.used)
    this.controls.offerSpaces(run.spaces)
    this.#chips()
    this.#last = ''
    this.#ask()
    const width = Math.max(this.node.size[0], 320)
    this.node.setSize([width, Math.max(this.node.size[1], this.node.computeSize()[1])])
  }

  /** A later run failed. Its nodes `executed`, by their numbers: this one may have been among them. */
  fail(executed, message) {
    if (!this.#run || executed.includes(this.#run.node)) return
    this.#failure = `${message} Shown is the run before.`
    this.#say(this.#failure, true)
  }

  #build() {
    this.picture = element('img', { alt: 'Fused frame', draggable: false })
    this.slider = element('input', { type: 'range', min: 0, step: 1, attributes: { 'aria-label': 'frame' } })
    this.slider.addEventListener('input', () => this.#ask())
    this.number = element('output')
    this.chips = element('div', { className: 'reenact-chips', attributes: { role: 'group', 'aria-label': 'picture' } })
    const none = new Option('no overlay', '')
    const overlays = this.choices.overlays.map(({ name, summary }) => {
      const option = new Option(name, name)
      option.title = summary
      return option
    })
    this.overlay = element('select', { attributes: { 'aria-label': 'overlay' } }, none, ...overlays)
    this.overlay.addEventListener('change', () => this.#ask())
    this.status = element('div', { className: 'reenact-status', attributes: { role: 'status' } })
    const frame = element('label', { className: 'reenact-setting' }, element('span', {}, 'frame'), this.slider)
    frame.append(this.number)
    this.below = element('div', { className: 'reenact-below' })
    const looks = element('div', { className: 'reenact-looks' }, this.chips, this.overlay)
    this.below.append(frame, looks, this.controls.element, this.status)
    const stage = element('div', { className: 'reenact-stage' }, this.picture)
    this.element = element('div', { className: 'reenact-panel' }, stage, this.below)
    // The editor's own keys (delete, copy, arrows) are not meant for the node while the panel has the focus.
    this.element.addEventListener('keydown', (event) => {
      if (!event.ctrlKey && !event.metaKey) event.stopPropagation()
    })
  }

  /** Buttons for the fused picture and every reference, in the references' colours. */
  #chips(shares = []) {
    const { references } = this.#run
    if (this.chips.children.length !== references.length + 1) {
      this.chips.replaceChildren(
        ...[null, ...references.keys()].map((reference) => {
          const chip = element('button', { type: 'button' })
          chip.addEventListener('click', () => {
            this.#reference = reference
            this.#chips()
            this.#ask()
          })
          return chip
        }),
      )
    }
    for (const [place, chip] of [...this.chips.children].entries()) {
      const reference = place ? place - 1 : null
      chip.setAttribute('aria-pressed', String(reference === this.#reference))
      if (reference === null) {
        chip.textContent = 'fused'
        chip.title = 'What the strategy makes of the references'
        continue
      }
      const share = shares[reference]
      if (share !== undefined || !chip.textContent) {
        chip.textContent = share === undefined ? `${place}` : `${place}: ${Math.round(share * 100)}%`
      }
      chip.title = `${references[reference]}: this reference alone, and its share of the frame`
      const colour = this.choices.colours[reference % this.choices.colours.length]
      chip.style.setProperty('--reenact-colour', `rgb(${colour.map((part) => Math.round(part * 255)).join(' ')})`)
    }
  }

  #least() {
    return (this.below.offsetHeight || 150) + PICTURE
  }

  /** Follow the node's widgets, which the user may have changed beside the panel. */
  #look() {
    if (!this.#run || !this.element.isConnected || document.hidden) return
    if (!this.element.contains(document.activeElement)) this.controls.refresh()
    this.#ask()
  }

  #ask() {
    if (!this.#run) return
    this.controls.refresh()
    const frame = Number(this.slider.value)
    this.number.value = `${frame + 1} / ${this.#run.kept}`
    if (!this.#run.kept) return this.#say(this.#run.note, true)
    const wish = {
      node: this.#run.node,
      token: this.#run.token,
      frame,
      ...readSettings(this.node, this.choices, this.#run.used),
      reference: this.#reference,
      overlay: this.overlay.value || null,
      side: SIDE,
    }
    const asked = JSON.stringify(wish)
    if (asked === this.#last) return
    this.#last = asked
    this.frames.ask(wish)
  }

  #show({ picture, shares, ms }) {
    if (this.#url) URL.revokeObjectURL(this.#url)
    this.#url = URL.createObjectURL(picture)
    this.picture.src = this.#url
    this.#chips(shares)
    const parts = [this.#failure, `${ms} ms`, this.#run.note]
    this.#say(parts.filter(Boolean).join(' · '), Boolean(this.#failure))
  }

  #say(message, wrong = false) {
    this.status.textContent = message
    this.status.classList.toggle('reenact-wrong', wrong)
  }
}

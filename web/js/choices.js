import { app } from '../../../scripts/app.js'

const WATCH = 250 // ms between two looks at the nodes in view
const SLACK = 8 // px by which a node may be higher than its widgets and still be taken for as high as they are

const settled = new WeakMap()

/** Settings of a choice on hosts without dynamic choices: `{ widget, choice, options }`. */
function settingsOf(node) {
  const { required, optional } = node.constructor.nodeData?.input ?? {}
  const specs = { ...required, ...optional }
  return (node.widgets ?? []).flatMap((widget) => {
    const options = specs[widget.name]?.[1]?.shown_for
    const choice = options && node.widgets.find((other) => other.name === widget.name.split('.')[0])
    return choice ? [{ widget, choice, options }] : []
  })
}

function isLinked(node, name) {
  return (node.inputs ?? []).some((input) => input.widget?.name === name && input.link != null)
}

function show(widget, visible) {
  widget.hidden = !visible
  // Older front ends leave room for hidden widgets: their height and a gap of 4.
  if (visible) delete widget.computeSize
  else widget.computeSize = () => [0, -4]
}

/** Show the settings of what is chosen; hide those of the other options, unless another node feeds them. */
function settle(node) {
  const settings = settingsOf(node)
  if (!settings.length) return
  const hidden = settings.map(({ widget, choice, options }) => !options.includes(choice.value) && !isLinked(node, widget.name))
  const state = hidden.join()
  if (settled.get(node) === state) return
  settled.set(node, state)
  const [width, height] = node.size
  const snug = height <= node.computeSize()[1] + SLACK
  for (const [place, { widget }] of settings.entries()) show(widget, !hidden[place])
  const needed = node.computeSize()[1]
  node.setSize([width, snug ? needed : Math.max(height, needed)])
  node.setDirtyCanvas(true, true)
}

app.registerExtension({
  name: 'reenact.choices',
  setup() {
    // Front ends tell of changed widgets in ways of their own, or not at all; reading a few values costs nothing.
    setInterval(() => {
      for (const node of app.canvas?.graph?.nodes ?? []) {
        if (node.comfyClass?.startsWith('Reenact')) settle(node)
      }
    }, WATCH)
  },
})

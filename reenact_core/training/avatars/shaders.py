"""Shaders of the avatars (GLSL 3.30): one vertex shader, one that colours pixels and one that names triangles.

Vertices come in camera coordinates (x right, y up, z towards the camera). Texture colours are sRGB and are lit in
linear light: two directional lights that wrap around, a sky, and a highlight after Blinn.
"""

VERTEX = """
#version 330
uniform vec2 focal; uniform vec2 middle; uniform vec2 depths;
in vec3 place; in vec3 normal; in vec2 uv; in vec3 rest;
out vec3 view; out vec3 across; out vec2 at; out vec3 origin;
void main() {
    float far = -place.z;
    // Rows of the picture run downwards, as in memory.
    gl_Position = vec4(focal.x * place.x + middle.x * far, -focal.y * place.y + middle.y * far,
                       depths.x * far + depths.y, far);
    view = -normalize(place); across = normal; at = uv; origin = rest;
}
"""
LOOK = """
#version 330
uniform sampler2D skin; uniform float cut; uniform float shine; uniform float gloss; uniform bool body;
uniform vec3 shirt; uniform float stripes; uniform float neckline; uniform vec3 mouth_low; uniform vec3 mouth_high;
uniform vec3 key; uniform vec3 key_colour; uniform vec3 fill; uniform vec3 fill_colour; uniform vec3 ambient;
in vec3 view; in vec3 across; in vec2 at; in vec3 origin;
out vec4 colour;
void main() {
    vec4 base = texture(skin, at);
    if (base.a < cut) discard;
    float sheen = shine;
    vec3 n = normalize(across);
    if (!gl_FrontFacing) n = -n;
    if (body && origin.y < -1.58 + neckline - 0.42 * (origin.z + 0.5)) {
        float wave = sin(origin.y * 28.0);
        float weave = sin(origin.x * 90.0) * sin(origin.y * 90.0);
        base.rgb = shirt * (1.0 - stripes * step(0.0, wave)) * (1.0 + 0.04 * weave);
        sheen = 0.0;
    }
    vec3 linear = pow(base.rgb, vec3(2.2));
    float main_light = max((dot(n, key) + 0.25) / 1.25, 0.0);
    float other = max((dot(n, fill) + 0.4) / 1.4, 0.0);
    float sky = 0.7 + 0.3 * n.y;
    vec3 light = key_colour * main_light + fill_colour * other + ambient * sky;
    // The skin's part of the mouth is its lining; the chin's and the cheeks' outer skin is left out.
    vec3 edge = body ? vec3(0.09, 0.16, 0.0) : vec3(-0.05);
    vec3 inside = smoothstep(mouth_low + edge, mouth_low + edge + 0.07, origin)
                - smoothstep(mouth_high - edge - 0.07, mouth_high - edge, origin);
    float within = inside.x * inside.y * inside.z;
    light *= 1.0 - within * (0.2 + 0.75 * clamp((mouth_high.z - origin.z) * 2.2, 0.0, 1.0));
    // The chin keeps light from the neck.
    float under = smoothstep(0.75, 1.15, -origin.y) * (1.0 - smoothstep(1.2, 1.9, -origin.y))
                * (1.0 - smoothstep(-0.15, 0.1, origin.z));
    light *= 1.0 - 0.45 * under * (body ? 1.0 : 0.3);
    float glint = pow(max(dot(n, normalize(key + view)), 0.0), gloss) * sheen * (1.0 - within);
    vec3 lit = linear * light + key_colour * glint;
    colour = vec4(pow(clamp(lit, 0.0, 1.0), vec3(1.0 / 2.2)), base.a);
}
"""
NAME = """
#version 330
uniform sampler2D skin; uniform float least; uniform int first;
in vec2 at;
out int triangle;
void main() {
    if (texture(skin, at).a < least) discard;
    triangle = first + gl_PrimitiveID + 1;
}
"""
